SELECT DISTINCT announced.job FROM mainspring.announced JOIN mainspring.kernel ON kernel.id = announced.kernel
WHERE kernel.id <> $1 AND kernel.lease_until > mainspring.clock()
