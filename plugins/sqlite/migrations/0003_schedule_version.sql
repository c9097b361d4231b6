-- Whoever changes a schedule says which version of it it has seen: what others have put since is not overwritten.
ALTER TABLE schedule ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
