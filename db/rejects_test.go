package db_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"importer"
	"importer/db/dbtest"
)

func TestRejects(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	c := created(t, d)
	all := []importer.Reject{
		{Line: 2, Reason: importer.ReasonMissingName, Field: "name", SKU: "a?", Raw: []byte("a?,,\xff\x00'\\")},
		{Line: 3, Reason: importer.ReasonRecordTooLong},
		{Line: 5, Reason: importer.ReasonNULByte, SKU: "b", Name: "x", Raw: []byte{}},
		{Line: 9, Reason: importer.ReasonInvalidEncoding, SKU: "c", Name: "y", Raw: []byte("z")},
	}
	for _, part := range [][]importer.Reject{all[:2], all[1:], all} { // recorded again by another scan
		if err := d.AddRejects(ctx, c.ID, c.Epoch, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.AddRejects(ctx, c.ID, c.Epoch, []importer.Reject{{Line: 11, SKU: "q\x00\xff"}}); err != nil {
		t.Fatal(err)
	}
	all = append(all, importer.Reject{Line: 11, SKU: "q\uFFFD\uFFFD"})

	page, err := d.Rejects(ctx, c.ID, 2, 2)
	if err != nil || page.Total != 5 || page.Next == nil || *page.Next != "5" {
		t.Fatalf("first page: got %+v, %v", page, err)
	}
	if diff := cmp.Diff(all[1:3], page.Items, cmpopts.IgnoreFields(importer.Reject{}, "Raw")); diff != "" {
		t.Errorf("first page (-want +got):\n%s", diff)
	}
	page, err = d.Rejects(ctx, c.ID, 5, 2)
	if err != nil || len(page.Items) != 2 || page.Next != nil {
		t.Errorf("last page: got %+v, %v", page, err)
	}

	var each []importer.Reject
	if err := d.EachReject(ctx, c.ID, func(r importer.Reject) error { each = append(each, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, each); diff != "" {
		t.Errorf("each (-want +got):\n%s", diff)
	}
	stop := errors.New("stop")
	if err := d.EachReject(ctx, c.ID, func(importer.Reject) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: got %v, want %v", err, stop)
	}
}

// TestEachRejectReadsInParts has more rows, and more bytes, than one read.
func TestEachRejectReadsInParts(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := created(t, d)
	var want []int64
	for part := range 5 {
		var rejects []importer.Reject
		for i := range 500 {
			line := int64(part*500 + i + 2)
			r := importer.Reject{Line: line}
			if line%300 == 0 {
				r.Raw = make([]byte, 3<<20)
			}
			rejects = append(rejects, r)
			want = append(want, line)
		}
		if err := d.AddRejects(t.Context(), c.ID, c.Epoch, rejects); err != nil {
			t.Fatal(err)
		}
	}
	var got []int64
	if err := d.EachReject(t.Context(), c.ID, func(r importer.Reject) error { got = append(got, r.Line); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestRejectHead(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := writing(t, d, 1)
	got, err := d.RejectHead(t.Context(), c.ID)
	if diff := cmp.Diff(scanOf(1, 0, 0).Head, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
