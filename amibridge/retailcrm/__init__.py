"""RetailCRM's language: what a request says (`render`), its verbs by subject, how answers are read (`responses`), and
the wire (`client`), with `service` on top for whoever writes Python.

RetailCRM's names stay in this package. Everything but `client` and `service` is a pure function of its arguments, and
`limits` is given the time.
"""
