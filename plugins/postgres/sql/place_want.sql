-- A wish is not written anew while it holds for long enough.
INSERT INTO mainspring.place_wanted AS kept (kind, name, kernel, until)
SELECT kind, name, $3, mainspring.clock() + $4::float8 FROM unnest($1::text[], $2::text[]) AS given (kind, name)
ON CONFLICT (kind, name, kernel) DO UPDATE SET until = excluded.until WHERE kept.until < mainspring.clock() + $5::float8
