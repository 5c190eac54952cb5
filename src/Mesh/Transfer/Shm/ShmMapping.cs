// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>One segment of another process of this host.</summary>
/// <param name="Memory">Its memory, mapped for reading.</param>
/// <param name="Table">Its generation table, likewise.</param>
/// <param name="Writable">Its memory mapped for writing, where the holder allows that.</param>
internal readonly record struct ShmSegment(MemoryBlock Memory, MemoryBlock Table, MemoryBlock? Writable)
{
    public void Dispose()
    {
        Memory.Dispose();
        Table.Dispose();
        Writable?.Dispose();
    }
}

/// <summary>
/// The segments of one incarnation of a holder, mapped, and the connection that says whether it lives. Counted: what
/// is being read stays mapped. Thread-safe.
/// </summary>
/// <param name="connection">The connection over which the memory was had.</param>
/// <param name="segments">The segments, by id.</param>
/// <param name="client">What this process is called there; 0: it may have neither views nor reservations.</param>
/// <param name="mayWrite">Whether it may fill its reservations itself.</param>
internal sealed class ShmMapping(SocketConnection connection, ShmSegment[] segments, ulong client, bool mayWrite)
{
    private int _users = 1;
    private long _lastView;

    /// <summary>Closed by the kernel when the holder dies.</summary>
    public SocketConnection Connection => connection;

    /// <summary>Segments mapped.</summary>
    public int Count => segments.Length;

    /// <summary>What this process is called at the holder, or 0.</summary>
    public ulong Client => client;

    /// <summary>Whether reservations can be filled here.</summary>
    public bool MayWrite => mayWrite && client != 0;

    /// <summary>A number for a view of this process at this holder: not 0, and not used before.</summary>
    public ulong NextView() => (ulong)Interlocked.Increment(ref _lastView);

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
        foreach (var segment in segments)
            segment.Dispose();

        // Nothing of this process can touch the memory any more; a holder that lives need not wait for our death.
        _ = EndAsync();
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
            || read.Offset > segment.Memory.Length - read.Length - read.Skip
            || index >= segment.Table.Length / sizeof(ulong))
            return false;
        bytes = segment.Memory.Pointer + read.Offset + read.Skip;
        word = (ulong*)segment.Table.Pointer + index;
        return Volatile.Read(ref *word) == read.Generation;
    }

    /// <summary>Where the extent of a reservation of this process lies; false when there is no such place.</summary>
    public unsafe bool TryFindReserved(in ExtentWrite write, long length, out byte* bytes)
    {
        bytes = null;
        if ((uint)write.SegmentId >= (uint)segments.Length || segments[write.SegmentId].Writable is not { } memory
            || write.Client != client || write.Offset < 0 || length < 0 || write.Offset > memory.Length - length)
            return false;
        bytes = memory.Pointer + write.Offset;
        return true;
    }

    /// <summary>The bytes of an object in view.</summary>
    public unsafe bool TryFindView(int segmentId, long offset, long length, out byte* bytes)
    {
        bytes = null;
        if ((uint)segmentId >= (uint)segments.Length || offset < 0 || length < 0
            || offset > segments[segmentId].Memory.Length - length)
            return false;
        bytes = segments[segmentId].Memory.Pointer + offset;
        return true;
    }

    /// <summary>Rule A1: after the last byte, a full barrier, then the word.</summary>
    public static unsafe TransferOutcome Verify(ulong* word, ulong generation)
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref *word) == generation ? TransferOutcome.Done : TransferOutcome.Stale;
    }

    private async Task EndAsync()
    {
        try
        {
            await connection.SendAsync(ShmFrame.Request(ShmRequest.Bye, 0), CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            _ = e; // The holder has gone, and with it all that we could have of it.
        }

        connection.Abort();
    }
}
