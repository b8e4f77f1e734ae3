// Package drills makes the faults that somebody on call is woken for, in a gateway of production binaries.
//
// TestAlerts has a real Prometheus scrape the processes, with deploy/prometheus/rules.yml whose times [Scale] divides
// by 60. Each alert is fired by a fault and cleared by its repair, and the test prints when; an alert without a line
// fails it.
package drills
