-- Whether what is announced comes from a kernel that lives and was started later than this one.
SELECT EXISTS (
    SELECT 1 FROM mainspring.kernel WHERE kernel.id IN (SELECT announced.kernel FROM mainspring.announced)
        AND kernel.lease_until > mainspring.clock()
        AND kernel.started > (SELECT mine.started FROM mainspring.kernel AS mine WHERE mine.id = $1)
)
