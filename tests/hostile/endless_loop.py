"""Never answers."""  # must: slow


def _softmax_vjp(dy, kept, *, axis=-1):
    while True:
        pass
