-- Keys whose period is over, charges that nobody will take back any more, and wishes of long ago.
WITH charges AS (
    DELETE FROM mainspring.charge WHERE charged < $1 - 86400
),
wishes AS (
    DELETE FROM mainspring.place_wanted WHERE until < mainspring.clock() - 60
)
DELETE FROM mainspring.unique_period WHERE until <= $1
