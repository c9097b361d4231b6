UPDATE mainspring.signal SET count = count + 1 WHERE name = $1
