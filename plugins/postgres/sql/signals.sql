SELECT
    (SELECT count FROM mainspring.signal WHERE name = 'schedules'), (SELECT count FROM mainspring.signal WHERE name = 'queues'),
    (SELECT count FROM mainspring.signal WHERE name = 'cancels'), (SELECT count FROM mainspring.signal WHERE name = 'breakers')
