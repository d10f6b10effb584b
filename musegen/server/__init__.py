"""`musegen serve`: the pipelines over HTTP for programs on the same computer (extra `[serve]`).

tasks     what may be asked for, checked before it is accepted; loads neither numpy nor torch
payload   music as JSON holds it, to and from Scores
worker    the process that keeps models warm and makes the music
jobs      the queue: accepted jobs are on disk until they are done
page      the OpenAPI description, and the page that shows it
app       the routes, who may use them, and the process around them
"""
