"""Starlette: the request pipeline. One file = one source, filter, scorer, selector or route."""
