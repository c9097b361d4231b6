-- What has ended waits for nothing.
UPDATE edge INDEXED BY edge_open SET is_open = 0 WHERE is_open = 1 AND child IN (
    ?-- each
)
