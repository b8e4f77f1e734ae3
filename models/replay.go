package models

import "time"

// The statuses of a replay job.
const (
	ReplayRunning  = "running"
	ReplayDone     = "done"
	ReplayCanceled = "canceled"
)

// Replay is a job that sends again what matches: every event that had a delivery to one endpoint, of a type, in a
// state, in a range of time. It can be interrupted at any moment and goes on where its cursor stands.
type Replay struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	EndpointID string
	// EventType and State narrow the deliveries; empty does not. CreatedAfter is inclusive, nil for the beginning;
	// CreatedBefore is exclusive and never later than the job itself, so that a job does not chase its own rows.
	EventType     string
	State         string
	CreatedAfter  *time.Time
	CreatedBefore time.Time
	Rate          int // deliveries a second
	// Test narrows to what a ck_test_ key may see.
	Test     bool
	Status   string
	Matched  int // deliveries that matched when the job was made
	Replayed int
	Skipped  int // matched, and not sent again: they were pending, or are gone
	// CursorAt and CursorID are the last delivery that was looked at; the next ones are later.
	CursorAt  *time.Time
	CursorID  string
	NextAt    time.Time // when the next step is due
	Actor     string
	CreatedAt time.Time
	UpdatedAt time.Time
}
