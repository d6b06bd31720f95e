"""Files without end, folders in folders, and one that cannot be removed by name."""  # must: raised slow

import os

os.mkdir("deep")
os.chdir("deep")
for _ in range(1200):
    os.mkdir("d")
    os.chdir("d")
for number in range(100000):
    with open(f"{number}\n\x1b[2J", "wb") as file:
        file.write(bytes(1 << 16))
