#!/usr/bin/perl
# Exit 0 when this kernel can track a guest's writes the way the engine does it, 1 when it cannot.
# Perl, because perl-base is on every Debian and the numbers can be asked for without a compiler; x86-64 only, as is
# Kemari. linux/userfaultfd.h, linux/fs.h (PAGEMAP_SCAN).
use strict;
use warnings;
use constant {
    SYS_USERFAULTFD => 323,
    O_CLOEXEC       => 02000000,
    UFFDIO_API      => 0xc018aa3f,
    UFFD_API        => 0xaa,
    WP_ASYNC        => 1 << 15,
    PAGEMAP_SCAN    => 0xc0606610,
};

my $userfaultfd = syscall(SYS_USERFAULTFD, O_CLOEXEC);
exit 1 if $userfaultfd < 0;
open(my $handle, '+<&=', $userfaultfd) or exit 1;
my $api = pack('Q3', UFFD_API, WP_ASYNC, 0);
ioctl($handle, UFFDIO_API, $api) or exit 1;

# struct pm_scan_arg of an empty range: a kernel without the ioctl answers ENOTTY.
open(my $pagemap, '<', '/proc/self/pagemap') or exit 1;
my $scan = pack('Q12', 96, (0) x 11);
ioctl($pagemap, PAGEMAP_SCAN, $scan) or exit 1;
exit 0;
