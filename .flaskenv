FLASK_APP=devapp.py
