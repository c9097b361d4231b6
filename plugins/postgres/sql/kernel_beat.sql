UPDATE mainspring.kernel SET seen = $2 WHERE id = $1
