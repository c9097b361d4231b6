UPDATE mainspring.edge SET is_open = false
WHERE parent = ANY ($1::uuid[]) AND is_open
RETURNING child::text, parent::text, on_failure
