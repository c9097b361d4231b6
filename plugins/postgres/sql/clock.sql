SELECT mainspring.clock()
