DELETE FROM mainspring.kernel WHERE id = $1
