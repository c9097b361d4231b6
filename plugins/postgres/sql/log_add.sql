-- Adds lines; of which runs more is kept now than may be: (run, text).
WITH added AS (
    INSERT INTO mainspring.run_log AS kept (run, is_cut, text)
    SELECT run, false, text FROM unnest($1::uuid[], $2::text[]) AS given (run, text)
    ON CONFLICT (run) DO UPDATE SET text = kept.text || excluded.text
    RETURNING run, text
)
SELECT run::text, text FROM added WHERE octet_length(text) > $3
