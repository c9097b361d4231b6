-- Which kernels want places of which limit, and for how many seconds more.
SELECT kind, name, kernel, until - mainspring.clock() FROM mainspring.place_wanted WHERE until > mainspring.clock()
