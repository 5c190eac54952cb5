// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>One segment of another process of this host.</summary>
/// <param name="Length">Length of its memory, in bytes.</param>
/// <param name="Table">Its generation table, mapped for reading.</param>
/// <param name="Memory">Its memory, mapped for reading; null: a device has it.</param>
/// <param name="Writable">Its memory mapped for writing, where the holder allows that.</param>
/// <param name="Device">Its memory, where a device has it that this process can read; null: it cannot.</param>
internal readonly record struct ShmSegment(long Length, MemoryBlock Table, MemoryBlock? Memory, MemoryBlock? Writable,
    IDeviceBlock? Device = null)
{
    public void Dispose()
    {
        Memory?.Dispose();
        Table.Dispose();
        Writable?.Dispose();
        Device?.Dispose();
    }
}

/// <summary>Where an extent is, for a read.</summary>
internal enum ShmPlace
{
    /// <summary>There is no such place, or it has another word.</summary>
    Stale,

    /// <summary>In memory of a device that this process cannot read.</summary>
    Elsewhere,

    /// <summary>It was found.</summary>
    Found,
}

/// <summary>
/// The segments of one incarnation of a holder, mapped, and the connection that says whether it lives. Counted: what
/// is being read stays mapped. Thread-safe.
/// </summary>
/// <param name="connection">The connection over which the memory was had.</param>
/// <param name="segments">The segments, by id.</param>
/// <param name="client">What this process is called there; 0: it may have neither views nor reservations.</param>
/// <param name="mayWrite">Whether it may fill its reservations itself.</param>
/// <param name="devices">By what memory of devices is read; null: it is not.</param>
internal sealed class ShmMapping(SocketConnection connection, ShmSegment[] segments, ulong client, bool mayWrite,
    IDeviceMemory? devices = null) : Staging.IHeldForMove
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

    /// <summary>Where an extent and its word lie.</summary>
    public unsafe ShmPlace Find(in ExtentRead read, out NativeRange bytes, out ulong* word)
    {
        bytes = default;
        word = null;
        if ((uint)read.SegmentId >= (uint)segments.Length)
            return ShmPlace.Stale;
        var segment = segments[read.SegmentId];
        long index = read.Offset / ExtentAllocator.Granule;
        if (read.Offset < 0 || read.Length < 0 || read.Skip < 0 || read.Offset % ExtentAllocator.Granule != 0
            || read.Skip > segment.Length - read.Length
            || read.Offset > segment.Length - read.Length - read.Skip
            || index >= segment.Table.Length / sizeof(ulong))
            return ShmPlace.Stale;
        word = (ulong*)segment.Table.Pointer + index;
        if (Volatile.Read(ref *word) != read.Generation)
            return ShmPlace.Stale;
        nint at = (nint)(read.Offset + read.Skip);
        if (segment.Memory is { } host)
            bytes = new NativeRange((nint)host.Pointer + at, read.Length);
        else if (segment.Device is { } block)
            bytes = InDevice(block, at, read.Length);
        else
            return ShmPlace.Elsewhere;
        return ShmPlace.Found;
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
            || offset > segments[segmentId].Length - length || segments[segmentId].Memory is not { } memory)
            return false;
        bytes = memory.Pointer + offset;
        return true;
    }

    /// <summary>Rule A1: after the last byte, a full barrier, then the word.</summary>
    public static unsafe TransferOutcome Verify(ulong* word, ulong generation)
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref *word) == generation ? TransferOutcome.Done : TransferOutcome.Stale;
    }

    private NativeRange InDevice(IDeviceBlock block, nint at, long length) => length == 0
        ? default
        : new NativeRange(0, length)
        {
            Device = new DeviceBuffer(devices!, block.Location, [new DeviceRange(block.Address + at, length)]),
        };

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
