// Package spool keeps uploaded files while their imports run: Dir on a disk of
// this machine, Bucket in object storage that several machines share. Both
// implement importer.Spool: httpd appends, the import's parser reads, also
// while the file is still growing. The package never looks at what is in a
// file and never decides how long one is kept.
package spool
