"""Huawei Cloud, simulated: IAM and CBH over real HTTP, from one readable world file.

The demo, the tests and the benchmarks use the production client against it unchanged, so whatever the client
relies on has to be true here in the same way. The behaviour follows the public API reference; where that is
silent the choice is named as an assumption beside the code that makes it.

No Django in here: the package can be run by anything that speaks WSGI.
"""
