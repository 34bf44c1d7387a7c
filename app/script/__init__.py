"""What runs in the process of a scoring script: loads `score.py` and answers requests by it.

Started under another name than `app`, which a script may have a module of; so nothing here imports
the rest of the service, and modules of this package name each other relatively. Nothing heavy is
imported that the script does not: werkzeug where it takes whole requests, or gives whole answers.
"""
