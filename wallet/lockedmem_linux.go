package wallet

import "golang.org/x/sys/unix"

func excludeFromCore(pages []byte) { _ = unix.Madvise(pages, unix.MADV_DONTDUMP) }
