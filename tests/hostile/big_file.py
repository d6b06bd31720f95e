"""A file as large as the disk."""  # must: raised slow


def _softmax_vjp(dy, kept, *, axis=-1):
    with open("big", "wb") as file:
        while True:
            file.write(bytes(1 << 20))
