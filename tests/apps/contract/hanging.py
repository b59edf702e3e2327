__plugin__ = {"name": "hanging", "version": "1.0", "summary": "Waits for what never comes"}

import threading

threading.Event().wait()
