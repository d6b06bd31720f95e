"""More memory than there is."""  # must: raised slow

held = []


def _softmax_vjp(dy, kept, *, axis=-1):
    while True:
        held.append(bytearray(1 << 28))
