// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>One segment of another process of this host, mapped for reading.</summary>
internal readonly record struct ShmSegment(MemoryBlock Memory, MemoryBlock Table);

/// <summary>
/// The segments of one incarnation of a holder, mapped, and the connection that says whether it lives. Counted: what
/// is being read stays mapped. Thread-safe.
/// </summary>
internal sealed class ShmMapping(SocketConnection connection, ShmSegment[] segments)
{
    private int _users = 1;

    /// <summary>Closed by the kernel when the holder dies.</summary>
    public SocketConnection Connection => connection;

    /// <summary>Segments mapped.</summary>
    public int Count => segments.Length;

    /// <summary>Holds the mapping for a read; false when it is gone.</summary>
    public bool TryHold()
    {
        while (true)
        {
            int users = Volatile.Read(ref _users);
            if (users == 0)
                return false;
            if (Interlocked.CompareExchange(ref _users, users + 1, users) == users)
                return true;
        }
    }

    /// <summary>Ends a hold, or, once, the one the mapping was made with; the last one unmaps.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _users) > 0)
            return;
        connection.Abort();
        foreach (var segment in segments)
        {
            segment.Memory.Dispose();
            segment.Table.Dispose();
        }
    }

    /// <summary>Where an extent and its word lie; false when there is no such place, or another word.</summary>
    public unsafe bool TryFind(in ExtentRead read, out byte* bytes, out ulong* word)
    {
        bytes = null;
        word = null;
        if ((uint)read.SegmentId >= (uint)segments.Length)
            return false;
        var segment = segments[read.SegmentId];
        long index = read.Offset / ExtentAllocator.Granule;
        if (read.Offset < 0 || read.Length < 0 || read.Skip < 0 || read.Offset % ExtentAllocator.Granule != 0
            || read.Skip > segment.Memory.Length - read.Length
            || read.Offset > segment.Memory.Length - read.Length - read.Skip || index >= segment.Table.Length / sizeof(ulong))
            return false;
        bytes = segment.Memory.Pointer + read.Offset + read.Skip;
        word = (ulong*)segment.Table.Pointer + index;
        return Volatile.Read(ref *word) == read.Generation;
    }

    /// <summary>Rule A1: after the last byte, a full barrier, then the word.</summary>
    public static unsafe TransferOutcome Verify(ulong* word, ulong generation)
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref *word) == generation ? TransferOutcome.Done : TransferOutcome.Stale;
    }
}
