"""The engines: each module has `prepare(spec)`, which returns the ways it could do a workload; the fastest one counts.

worker.py starts them by file, so that engine_torch.py needs nothing but PyTorch and NumPy.
"""
