-- Keys whose period is over, and charges that nobody will take back any more.
WITH charges AS (
    DELETE FROM mainspring.charge WHERE charged < $1 - 86400
)
DELETE FROM mainspring.unique_period WHERE until <= $1
