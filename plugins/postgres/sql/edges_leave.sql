-- These have ended: they wait for nobody.
UPDATE mainspring.edge SET is_open = false WHERE child = ANY ($1::uuid[]) AND is_open
