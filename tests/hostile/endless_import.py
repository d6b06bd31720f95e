"""Never gets loaded."""  # must: slow

while True:
    pass
