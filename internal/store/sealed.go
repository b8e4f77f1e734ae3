package store

import (
	"context"
	"strings"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// SealedValue is a value that the vault sealed.
type SealedValue struct {
	AAD   string // that it is bound to
	Value []byte

	column *sealedColumn
	key    []any
}

// sealedColumn is where sealed values lie.
type sealedColumn struct {
	table, column string
	key           []string // primary key
	aad           func(key []string) string
}

func ofID(aad func(string) string) func([]string) string {
	return func(key []string) string { return aad(key[0]) }
}

// sealedColumns are all that there are: a migration that adds one adds it here.
var sealedColumns = []*sealedColumn{
	{"endpoint_secrets", "sealed", []string{"id"}, ofID(models.SecretAAD)},
	{"signing_keys", "sealed", []string{"id"}, ofID(models.SigningKeyAAD)},
	{"test_signing_keys", "sealed", []string{"id"}, ofID(models.SigningKeyAAD)},
	{"webhook_endpoints", "headers_sealed", []string{"id"}, ofID(models.HeadersAAD)},
	{"webhook_endpoints", "client_key_sealed", []string{"id"}, ofID(models.ClientKeyAAD)},
	{"idempotency_keys", "answer", []string{"merchant_id", "method", "path", "key"}, func(key []string) string {
		return models.AnswerAAD(key[0], key[1], key[2], key[3])
	}},
}

// CountSealed counts the values that the vault sealed.
func (q *Queries) CountSealed(ctx context.Context) (int64, error) {
	var total int64
	for _, c := range sealedColumns {
		var n int64
		if err := c.filled(q.with(ctx)).Count(&n).Error; err != nil {
			return 0, wrap("count "+c.table, err)
		}
		total += n
	}
	return total, nil
}

// WalkSealed hands every value that the vault sealed to visit, at most size at a time. What is written meanwhile may be
// left out.
func (q *Queries) WalkSealed(ctx context.Context, size int, visit func([]SealedValue) error) error {
	for _, c := range sealedColumns {
		var last []any
		for {
			page, err := c.page(q.with(ctx), last, size)
			if err != nil {
				return wrap("sealed values of "+c.table, err)
			}
			if len(page) == 0 {
				break
			}
			if err := visit(page); err != nil {
				return err
			}
			last = page[len(page)-1].key
		}
	}
	return nil
}

// ReplaceSealed puts another sealed value in the place of one, and returns false when that is no longer there.
func (q *Queries) ReplaceSealed(ctx context.Context, v SealedValue, by []byte) (bool, error) {
	c := v.column
	res := q.with(ctx).Exec("UPDATE "+c.table+" SET "+c.column+" = ? WHERE "+strings.Join(c.key, " = ? AND ")+" = ? AND "+
		c.column+" = ?",
		append(append([]any{by}, v.key...), v.Value)...)
	return res.RowsAffected == 1, wrap("replace "+v.AAD, res.Error)
}

func (c *sealedColumn) filled(db *gorm.DB) *gorm.DB {
	return db.Table(c.table).Where(c.column + " IS NOT NULL AND length(" + c.column + ") > 0")
}

func (c *sealedColumn) page(db *gorm.DB, after []any, size int) ([]SealedValue, error) {
	keys := strings.Join(c.key, ", ")
	filled := c.filled(db)
	if after != nil {
		filled = filled.Where("("+keys+") > ("+strings.Repeat("?, ", len(after)-1)+"?)", after...)
	}
	rows, err := filled.Select(keys + ", " + c.column).Order(keys).Limit(size).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []SealedValue
	for rows.Next() {
		v := SealedValue{column: c}
		key := make([]string, len(c.key))
		into := make([]any, 0, len(key)+1)
		for i := range key {
			into = append(into, &key[i])
		}
		if err := rows.Scan(append(into, &v.Value)...); err != nil {
			return nil, err
		}
		for _, k := range key {
			v.key = append(v.key, k)
		}
		v.AAD = c.aad(key)
		page = append(page, v)
	}
	return page, rows.Err()
}
