// Package release makes what a release of Ringmaster consists of: the programs for each platform, archives, notices, the bill of materials.
// Everything is a function of the source, the version, the time of the commit and the Go release, so that two builds have the same bytes.
package release
