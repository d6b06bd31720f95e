"""More nested than the parser can hold."""  # must: raised syntax died

exec(compile(f"y = {'-' * 200000}1", "huge", "exec"))
