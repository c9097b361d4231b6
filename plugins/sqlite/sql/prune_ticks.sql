DELETE FROM tick WHERE (schedule, first) IN (
    SELECT schedule, first FROM tick INDEXED BY tick_last WHERE last < ? ORDER BY last LIMIT ?
)
