// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;
using Mooncake.Mesh.Segments.Interop;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Memory that can be shown to other processes of this host: a sealed memfd, mapped. Neither its size nor its seals
/// can change, other users cannot re-open it for writing, and a forked child does not inherit the mapping.
/// Thread-safe; whoever uses <see cref="Pointer"/> sees to it that the block is not disposed meanwhile.
/// </summary>
public sealed unsafe class MemoryBlock : IDisposable
{
    /// <summary>Size of a normal page, in bytes.</summary>
    public const int PageSize = 4096;

    /// <summary>Size of a huge page, in bytes; shorter blocks do not ask for them.</summary>
    public const int HugePageSize = 2 * 1024 * 1024;

    private const int MaxNameBytes = 249;
    private const string Stage = "memory";

    private readonly Lock _gate = new();
    private readonly long _mappedLength;
    private readonly bool _writable;
    private int _fd;
    private byte* _pointer;

    private MemoryBlock(int fd, byte* pointer, long length, long mappedLength, bool hugePages, bool writable)
    {
        _fd = fd;
        _pointer = pointer;
        _mappedLength = mappedLength;
        _writable = writable;
        Length = length;
        HugePages = hugePages;
    }

    /// <summary>The first byte, or null once disposed.</summary>
    public byte* Pointer => _pointer;

    /// <summary>Length in bytes.</summary>
    public long Length { get; }

    /// <summary>Number of its file in this process; -1: it is a peer's, or closed.</summary>
    internal int Descriptor => _fd;

    /// <summary>Whether the memory is made of huge pages.</summary>
    public bool HugePages { get; }

    /// <summary>Why there are no huge pages although they were asked for, or null.</summary>
    public string? HugePagesReason { get; private init; }

    /// <summary>Why the memory is not placed on the NUMA node that was asked for, or null.</summary>
    public string? PlacementReason { get; private init; }

    /// <summary>Allocates zeroed memory; it is taken from the host when touched.</summary>
    /// <param name="name">Shown in /proc/PID/maps; at most 249 bytes are used.</param>
    /// <param name="length">Length in bytes, rounded up to whole pages.</param>
    /// <param name="hugePages">Whether to try huge pages first (blocks from 2 MiB on).</param>
    /// <param name="numaNode">Preferred NUMA node, or -1; without effect on a host with one node.</param>
    /// <returns>
    /// The block; System at "config:segments" when the host has not that much memory; System at "memory" when the
    /// operating system refuses; InvalidArgument for a length or node that cannot be.
    /// </returns>
    public static MeshResult<MemoryBlock> Allocate(string name, long length, bool hugePages, int numaNode = -1) =>
        Allocate(name, length, hugePages, numaNode, alreadyPromised: 0);

    /// <summary>As above, beside <paramref name="alreadyPromised"/> bytes of blocks perhaps not touched yet.</summary>
    internal static MeshResult<MemoryBlock> Allocate(
        string name, long length, bool hugePages, int numaNode, long alreadyPromised)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (length is <= 0 or > SegmentOptions.MaxLength)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "config:segments",
                $"length of '{name}' is {length} bytes; it must be 1 to {SegmentOptions.MaxLength} bytes");
        }

        length = RoundUp(length, PageSize);
        if (NumaPlacement.Check(numaNode) is { } fault)
            return fault;

        string? reason = null;
        if (hugePages)
        {
            // Tried before the limit is looked at: the pool of huge pages is no part of MemAvailable, and the kernel
            // itself refuses, at mmap, what the pool cannot hold.
            if (length < HugePageSize)
            {
                reason = $"{length} bytes are less than one huge page of {HugePageSize} bytes";
            }
            else
            {
                MeshResult<MemoryBlock> huge = Map(name, length, huge: true, numaNode, null);
                if (huge.Error is null)
                    return huge;
                reason = $"no huge pages: {huge.Error.Message}";
            }
        }

        MemoryLimit limit = MemoryLimit.Read();
        if (length > limit.Bytes - alreadyPromised)
        {
            string others = alreadyPromised > 0 ? $" beside {alreadyPromised} bytes of earlier segments" : "";
            return new MeshError(MeshErrorCode.System, "config:segments",
                $"length of '{name}' is {length} bytes{others}; the limit is {limit.Bytes} bytes ({limit.Source})");
        }

        return Map(name, length, huge: false, numaNode, reason);
    }

    /// <summary>Maps the memory of another process of this host for reading.</summary>
    /// <param name="fd">A descriptor from <see cref="OpenReadOnly"/>; owned, and closed, by this call.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="populate">Whether to map all pages at once: half the cost of faulting them in one by one.</param>
    /// <returns>The block; InvalidArgument when the descriptor's file cannot be what it claims; System.</returns>
    public static MeshResult<MemoryBlock> MapReadOnly(int fd, long length, bool populate = false) =>
        MapPeer(fd, length, LibC.PROT_READ, populate);

    /// <summary>Maps the memory of another process of this host for reading and writing (rule A5).</summary>
    /// <param name="fd">A descriptor from <see cref="OpenWritable"/>; owned, and closed, by this call.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>As <see cref="MapReadOnly"/>.</returns>
    public static MeshResult<MemoryBlock> MapWritable(int fd, long length) =>
        MapPeer(fd, length, LibC.PROT_READ | LibC.PROT_WRITE, populate: false);

    private static MeshResult<MemoryBlock> MapPeer(int fd, long length, int protection, bool populate)
    {
        try
        {
            long size = LibC.lseek(fd, 0, LibC.SEEK_END);
            if (size < 0)
                return LibCErrors.Last(Stage, $"descriptor {fd} of a peer's segment");
            if (length <= 0 || length > size)
            {
                return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                    $"length of a peer's segment is {length} bytes; its memory has {size} bytes");
            }

            // Without this seal the peer could shrink the file, and our next read would end in SIGBUS.
            int seals = LibC.fcntl(fd, LibC.F_GET_SEALS, 0);
            if (seals < 0 || (seals & LibC.F_SEAL_SHRINK) == 0)
            {
                return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                    $"a peer's segment is not sealed against shrinking (seals {seals})");
            }

            int flags = LibC.MAP_SHARED | (populate ? LibC.MAP_POPULATE : 0);
            nint address = LibC.mmap(0, (nuint)size, protection, flags, fd, 0);
            if (address == LibC.MAP_FAILED)
                return LibCErrors.Last(Stage, $"mmap of {size} bytes of a peer's segment");
            var block = new MemoryBlock(-1, (byte*)address, length, size, hugePages: false, writable: false);
            return DontFork(block);
        }
        finally
        {
            _ = LibC.close(fd);
        }
    }

    /// <summary>A fresh read-only descriptor to hand to a reader; the caller closes it.</summary>
    /// <returns>The descriptor; Closed when disposed or no block of our own; System.</returns>
    public MeshResult<int> OpenReadOnly()
    {
        lock (_gate)
        {
            if (_fd < 0)
                return new MeshError(MeshErrorCode.Closed, Stage, "the memory block is closed or a peer's");

            // Duplicating would share the writable open file; only a second open through /proc drops the right.
            Span<byte> path = stackalloc byte[64];
            int count = Encoding.ASCII.GetBytes(
                string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{_fd}"), path);
            path[count] = 0;
            fixed (byte* native = path)
            {
                int fd = LibC.open(native, LibC.O_RDONLY | LibC.O_CLOEXEC, 0);
                return fd >= 0 ? fd : LibCErrors.Last(Stage, "open of a segment for reading through /proc/self/fd");
            }
        }
    }

    /// <summary>
    /// A descriptor that may map the memory for writing, for a client that fills its own reservations; the caller
    /// closes it.
    /// </summary>
    /// <returns>As <see cref="OpenReadOnly"/>.</returns>
    public MeshResult<int> OpenWritable()
    {
        lock (_gate)
        {
            if (_fd < 0)
                return new MeshError(MeshErrorCode.Closed, Stage, "the memory block is closed or a peer's");
            int fd = LibC.fcntl(_fd, LibC.F_DUPFD_CLOEXEC, 0);
            return fd >= 0 ? fd : LibCErrors.Last(Stage, "duplicating a segment's descriptor");
        }
    }

    /// <summary>
    /// Touches every page in the background, 4 MiB at a time, so that no put pays for it. Bytes written meanwhile
    /// are safe. Ends early when the block is disposed; a refusal of the kernel is logged, not thrown.
    /// </summary>
    public Task TouchAsync(MeshRuntime runtime, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(runtime);
        if (!_writable)
            throw new InvalidOperationException("only the owner of the memory touches it in advance");
        return BackgroundTouch.StartAsync(this, _mappedLength, runtime, cancel);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_pointer is null)
                return;
            _ = LibC.munmap((nint)_pointer, (nuint)_mappedLength);
            _pointer = null;
            if (_fd >= 0)
                _ = LibC.close(_fd);
            _fd = -1;
        }
    }

    /// <summary>The next multiple of <paramref name="unit"/>, a power of two.</summary>
    internal static long RoundUp(long length, long unit) => (length + unit - 1) & ~(unit - 1);

    /// <summary>Touches the pages of one chunk.</summary>
    /// <returns>Whether to go on; if not, the refusal, which is null when the block was disposed.</returns>
    internal bool TouchRange(long from, long length, out string? refusal)
    {
        // Under the gate, so that no page is touched after it was unmapped; a chunk takes some milliseconds.
        lock (_gate)
        {
            refusal = null;
            if (_pointer is null)
                return false;
            if (LibC.madvise((nint)(_pointer + from), (nuint)length, LibC.MADV_POPULATE_WRITE) == 0)
                return true;
            int errno = Marshal.GetLastPInvokeError();
            if (errno != LibC.EINVAL)
            {
                refusal = LibCErrors.Describe($"madvise of {length} bytes at {from}", errno);
                return false;
            }

            // Kernels before 5.14. Adding 0 atomically changes no byte, whoever writes there at the same time.
            for (long at = from; at < from + length; at += PageSize)
                Interlocked.Add(ref *(int*)(_pointer + at), 0);
            return true;
        }
    }

    private static MeshResult<MemoryBlock> Map(string name, long length, bool huge, int numaNode, string? reason)
    {
        long mapped = RoundUp(length, huge ? HugePageSize : PageSize);
        int fd = Create(name, huge);
        if (fd < 0)
            return LibCErrors.Last(Stage, $"memfd_create of '{name}'");
        nint address = LibC.MAP_FAILED;
        if (LibC.ftruncate(fd, mapped) == 0
            && LibC.fchmod(fd, 0x180) == 0 // 0600: a memfd starts as 0777, open to every user through /proc
            && LibC.fcntl(fd, LibC.F_ADD_SEALS, LibC.F_SEAL_SHRINK | LibC.F_SEAL_GROW | LibC.F_SEAL_SEAL) == 0)
            address = LibC.mmap(0, (nuint)mapped, LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_SHARED, fd, 0);
        if (address == LibC.MAP_FAILED)
        {
            MeshError error = LibCErrors.Last(Stage, $"mapping {mapped} bytes for '{name}'");
            _ = LibC.close(fd);
            return error;
        }

        string? placement = NumaPlacement.Apply(address, mapped, numaNode);
        var block = new MemoryBlock(fd, (byte*)address, length, mapped, huge, writable: true)
        {
            HugePagesReason = reason,
            PlacementReason = placement,
        };
        return DontFork(block);
    }

    private static int Create(string name, bool huge)
    {
        Span<byte> native = stackalloc byte[MaxNameBytes + 1];
        Utf8.FromUtf16(name.Replace('\0', '_'), native[..MaxNameBytes], out _, out int count);
        native[count] = 0;
        uint flags = LibC.MFD_CLOEXEC | LibC.MFD_ALLOW_SEALING | (huge ? LibC.MFD_HUGETLB : 0);
        fixed (byte* text = native)
            return LibC.memfd_create(text, flags);
    }

    private static MeshResult<MemoryBlock> DontFork(MemoryBlock block)
    {
        if (LibC.madvise((nint)block._pointer, (nuint)block._mappedLength, LibC.MADV_DONTFORK) == 0)
            return block;
        MeshError error = LibCErrors.Last(Stage, "madvise MADV_DONTFORK");
        block.Dispose();
        return error;
    }
}
