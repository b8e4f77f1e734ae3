package store

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// column is one field of many rows as the array that UNNEST takes. It lets pgx read the fields where they are; slices
// of plain strings and numbers would cost an allocation for every element.
type column[T any] struct {
	n  int
	at func(i int) *T
}

// Dimensions is one list of n elements.
func (c column[T]) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(c.n), LowerBound: 1}}
}

// Index returns element i.
func (c column[T]) Index(i int) any { return c.at(i) }

// IndexType returns an element of the type that all have.
func (c column[T]) IndexType() any { return new(T) }

// The element types tell pgx their value without a copy on the heap.
type (
	textElement  string
	intElement   int
	int64Element int64
	bytesElement []byte
	timeElement  time.Time
)

// TextValue gives the text.
func (e *textElement) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: string(*e), Valid: true}, nil
}

// Int64Value gives the number.
func (e *intElement) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(*e), Valid: true}, nil
}

// Int64Value gives the number.
func (e *int64Element) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(*e), Valid: true}, nil
}

// BytesValue gives the bytes, nil for NULL.
func (e *bytesElement) BytesValue() ([]byte, error) { return *e, nil }

// TimestamptzValue gives the moment.
func (e *timeElement) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: time.Time(*e), Valid: true}, nil
}

// columns turns verdicts into the parameters of recordPostgres, in order.
func columns(vs []Verdict, sweep SweepDelays) []any {
	n := len(vs)
	for i := range vs { // as Postgres takes it
		v := &vs[i]
		v.Error, v.DeadReason = text(v.Error), text(v.DeadReason)
		v.RequestJSON, v.ResponseJSON, v.TriesJSON = object(v.RequestJSON), object(v.ResponseJSON), text(v.TriesJSON)
	}
	texts := func(f func(*Verdict) *string) any {
		return column[textElement]{n, func(i int) *textElement { return (*textElement)(f(&vs[i])) }}
	}
	ints := func(f func(*Verdict) *int) any {
		return column[intElement]{n, func(i int) *intElement { return (*intElement)(f(&vs[i])) }}
	}
	micros := func(f func(*Verdict) *int64) any {
		return column[int64Element]{n, func(i int) *int64Element { return (*int64Element)(f(&vs[i])) }}
	}
	times := func(f func(*Verdict) *time.Time) any {
		return column[timeElement]{n, func(i int) *timeElement { return (*timeElement)(f(&vs[i])) }}
	}
	changed := make([]intElement, n)
	for i := range vs {
		if vs[i].ChangesLane {
			changed[i] = 1
		}
	}
	return []any{
		texts(func(v *Verdict) *string { return &v.ID }), texts(func(v *Verdict) *string { return &v.DeliveryID }),
		texts(func(v *Verdict) *string { return &v.EventID }), texts(func(v *Verdict) *string { return &v.EndpointID }),
		texts(func(v *Verdict) *string { return &v.MerchantID }), ints(func(v *Verdict) *int { return &v.Number }),
		ints(func(v *Verdict) *int { return &v.Attempt.Generation }), texts(func(v *Verdict) *string { return &v.Class }),
		ints(func(v *Verdict) *int { return &v.StatusCode }), texts(func(v *Verdict) *string { return &v.Error }),
		texts(func(v *Verdict) *string { return &v.RequestJSON }), texts(func(v *Verdict) *string { return &v.ResponseJSON }),
		column[bytesElement]{n, func(i int) *bytesElement { return (*bytesElement)(&vs[i].ResponseBody) }},
		texts(func(v *Verdict) *string { return &v.RemoteIP }), micros(func(v *Verdict) *int64 { return &v.DNSMicros }),
		micros(func(v *Verdict) *int64 { return &v.ConnectMicros }), micros(func(v *Verdict) *int64 { return &v.TLSMicros }),
		micros(func(v *Verdict) *int64 { return &v.FirstByteMicros }),
		micros(func(v *Verdict) *int64 { return &v.TotalMicros }),
		times(func(v *Verdict) *time.Time { return &v.StartedAt }), ints(func(v *Verdict) *int { return &v.Before }),
		texts(func(v *Verdict) *string { return (*string)(&v.State) }),
		column[intElement]{n, func(i int) *intElement { return &changed[i] }},
		times(func(v *Verdict) *time.Time { return &v.NextAttemptAt }),
		texts(func(v *Verdict) *string { return &v.DeadReason }),
		times(func(v *Verdict) *time.Time { return &v.At }), sweep.Retried.Seconds(),
		texts(func(v *Verdict) *string { return &v.TriesJSON }),
	}
}
