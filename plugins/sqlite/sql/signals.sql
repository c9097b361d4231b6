SELECT
    max(iif(name = 'schedules', count, 0)), max(iif(name = 'queues', count, 0)), max(iif(name = 'cancels', count, 0)),
    max(iif(name = 'breakers', count, 0))
FROM signal
