__plugin__ = {"name": "exiting", "version": "1.0", "summary": "Takes the process with it"}

import os

print("a last word")
os._exit(3)
