"""An exception whose message never ends, of a class with an evil name."""  # must: slow raised died


class Evil(BaseException):
    def __str__(self):
        while True:
            pass


Evil.__name__ = "\x1b[2J]]>passed" * 1000


def _softmax_vjp(dy, kept, *, axis=-1):
    raise Evil
