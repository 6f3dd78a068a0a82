"""What `manage.py doctor` examines, one module per subject. Each yields findings; only the command prints.

Nothing here changes anything, prints a secret or waits long: what asks other machines is asked at once, in threads,
and given up after a few seconds.
"""
