// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Tests.Support;

/// <summary>
/// A double of <see cref="IDeviceMemory"/>: devices whose addresses are no addresses of the host, so that whoever
/// follows one crashes the test. It rejects what a driver would, counts what is not given back, and fails or stalls
/// where it is told to. Two doubles of one <see cref="Host"/> are two processes of a host.
/// </summary>
internal sealed class DeviceDouble : IDeviceMemory
{
    /// <summary>Bytes of a chunk: no slice of a checksum ends where one does.</summary>
    private const int ChunkBytes = 96 * 1024 + 40;

    private readonly Host _host;
    private readonly bool[] _lost;
    private int _copies;

    public DeviceDouble(int devices = 2, long capacity = 256 << 20, Host? host = null)
    {
        _host = host ?? new Host(devices, capacity);
        _lost = new bool[_host.Capacities.Length];
        Devices = [.. _lost.Select((_, i) => new DeviceInfo($"cuda:{i}", "double", $"0000:0{i}:00.0"))];
    }

    /// <summary>What the devices of a host have.</summary>
    public sealed class Host(int devices, long capacity)
    {
        public long[] Capacities { get; } = [.. Enumerable.Repeat(capacity, devices)];

        public Dictionary<nint, Block> Blocks { get; } = [];

        // Not canonical: no process has anything there.
        public nint Next { get; set; } = unchecked((nint)0x4000_0000_0000_0000);
    }

    /// <summary>Blocks that were allocated or opened, and not disposed.</summary>
    public int Live => Volatile.Read(ref _live);

    private int _live;

    /// <summary>Copies, reads and writes begun.</summary>
    public int Calls => Volatile.Read(ref _calls);

    private int _calls;

    /// <summary>Copies between devices that were made.</summary>
    public int Copies => Volatile.Read(ref _copies);

    /// <summary>Why the next calls fail; null: they do not.</summary>
    public MeshError? Fault { get; set; }

    /// <summary>After how many chunks <see cref="Fault"/> strikes.</summary>
    public int FaultAfterChunks { get; set; }

    /// <summary>The device that stands still; null: none does.</summary>
    public string? Stalled { get; set; }

    /// <summary>Called before each chunk, with its place in the whole.</summary>
    public Action<long>? BeforeChunk { get; set; }

    /// <summary>
    /// Whether blocks have addresses that a network card reaches, as with the kernel module nvidia_peermem.
    /// </summary>
    public bool CardsReach { get; init; }

    /// <summary>Whether blocks can be shared.</summary>
    public bool Shares { get; set; } = true;

    /// <summary>What the last call was to come after.</summary>
    public DeviceOrder LastOrder { get; private set; }

    /// <summary>The longest time that the last call gave the device.</summary>
    public TimeSpan LastTimeout { get; private set; }

    /// <summary>Times that the driver was asked where memory is.</summary>
    public int Questions { get; private set; }

    public IReadOnlyList<DeviceInfo> Devices { get; }

    public MeshResult<DeviceUsage> UsageOf(string location)
    {
        if (NumberOf(location) is not { } device)
            return Unknown(location);
        if (_lost[device])
            return Lost(location);
        lock (_host)
        {
            long used = _host.Blocks.Values.Where(block => block.Location == location).Sum(block => block.Length);
            return new DeviceUsage(_host.Capacities[device] - used, _host.Capacities[device]);
        }
    }

    public string? LocationOf(DeviceRange range)
    {
        Questions++;
        lock (_host)
            return Find(range) is var (block, _) ? block.Location : null;
    }

    public MeshResult<IDeviceBlock> Allocate(string location, long length)
    {
        var usage = UsageOf(location);
        if (!usage.Succeeded)
            return usage.Error!;
        if (length > usage.Value.Free)
            return new MeshError(MeshErrorCode.NoSpace, "device", $"{usage.Value.Free} bytes are free");
        lock (_host)
        {
            byte[] bytes = GC.AllocateArray<byte>((int)length, pinned: true);
            var block = new Block(this, location, CardsReach
                ? Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0)
                : _host.Next, bytes);
            _host.Next += (nint)((length + 0x1FFFFF) & ~0x1FFFFF);
            _host.Blocks.Add(block.Address, block);
            Interlocked.Increment(ref _live);
            return block;
        }
    }

    public MeshResult<IDeviceBlock> OpenShared(string location, ReadOnlySpan<byte> handle, long length)
    {
        nint address = (nint)BitConverter.ToInt64(handle);
        lock (_host)
        {
            if (!_host.Blocks.TryGetValue(address, out var block) || block.Length != length
                || block.Location != location)
                return new MeshError(MeshErrorCode.Device, "device", "no such handle");
            Interlocked.Increment(ref _live);
            return new Block(this, location, address, block.Bytes, opened: true);
        }
    }

    /// <summary>Times that what cards had written was flushed.</summary>
    public int Flushes => Volatile.Read(ref _flushes);

    private int _flushes;

    /// <summary>Why nothing can be flushed; null: it can.</summary>
    public MeshError? FlushFault { get; set; }

    public MeshResult<int> ExportDmaBuf(DeviceRange range) =>
        new MeshError(MeshErrorCode.Device, "device", "a double has no dma-buf");

    /// <summary>Called before a flush.</summary>
    public Action<string>? BeforeFlush { get; set; }

    public MeshError? FlushWrites(string location)
    {
        BeforeFlush?.Invoke(location);
        if (NumberOf(location) is null)
            return Unknown(location);
        if (FlushFault is null)
            Interlocked.Increment(ref _flushes);
        return FlushFault;
    }

    public DeviceOutcome Read(ReadOnlySpan<DeviceRange> from, IChunkSink sink, DeviceOrder order, TimeSpan timeout) =>
        Each(from, order, timeout, (bytes, at) => sink.Take(bytes, at));

    public DeviceOutcome Write(ReadOnlySpan<DeviceRange> to, IChunkSource source, DeviceOrder order,
        TimeSpan timeout) => Each(to, order, timeout, (bytes, at) =>
        {
            // As a driver's staging buffer does: what a source leaves half filled never reaches the device.
            byte[] staged = new byte[bytes.Length];
            if (!source.Fill(staged, at))
                return false;
            staged.CopyTo(bytes);
            return true;
        });

    public DeviceOutcome Copy(DeviceRange from, nint to, DeviceOrder order, TimeSpan timeout)
    {
        (Block, long)? target;
        lock (_host)
            target = Find(new DeviceRange(to, from.Length));
        if (target is not var (block, start))
            return Illegal(new DeviceRange(to, from.Length));
        Interlocked.Increment(ref _copies);
        return Each([from], order, timeout, (bytes, at) =>
        {
            bytes.CopyTo(block.Bytes.AsSpan((int)(start + at)));
            return true;
        });
    }

    /// <summary>Called when a stream is waited for; whether its work ends in time.</summary>
    public Func<string?, nint, bool> OnAwait { get; set; } = static (_, _) => true;

    /// <summary>Streams that are not those of the device.</summary>
    public HashSet<(string, nint)> ForeignStreams { get; } = [];

    public DeviceOutcome Await(string? location, DeviceOrder order, TimeSpan timeout)
    {
        (LastOrder, LastTimeout) = (order, timeout);
        if (location is not null && NumberOf(location) is var device && (device is null || _lost[device.Value]))
            return new DeviceOutcome(DeviceEnd.Failed, device is null ? Unknown(location) : Lost(location));
        if (location is not null && ForeignStreams.Contains((location, order.Stream)))
        {
            return new DeviceOutcome(DeviceEnd.Failed,
                new(MeshErrorCode.InvalidArgument, "device", $"that is no stream of {location}"));
        }

        return OnAwait(location, order.Stream) ? new DeviceOutcome(DeviceEnd.Done)
            : new DeviceOutcome(DeviceEnd.Late, new(MeshErrorCode.Device, "device", "the stream took too long"));
    }

    /// <summary>The bytes at an address of a device.</summary>
    public Span<byte> BytesAt(nint address, int length)
    {
        lock (_host)
        {
            var (block, at) = Find(new DeviceRange(address, length))
                ?? throw new InvalidOperationException("no device has this");
            return block.Bytes.AsSpan((int)at, length);
        }
    }

    public void Dispose()
    {
    }

    private delegate bool ChunkAction(Span<byte> bytes, long at);

    private DeviceOutcome Each(ReadOnlySpan<DeviceRange> ranges, DeviceOrder order, TimeSpan timeout, ChunkAction act)
    {
        Interlocked.Increment(ref _calls);
        (LastOrder, LastTimeout) = (order, timeout);
        string? location = null;
        long done = 0;
        int chunks = 0;
        foreach (var range in ranges)
        {
            (Block, long)? found;
            lock (_host)
                found = Find(range);
            if (found is not var (block, start))
                return Illegal(range);
            if ((location ??= block.Location) != block.Location)
            {
                return new DeviceOutcome(DeviceEnd.Failed,
                    new(MeshErrorCode.Device, "device", "two devices in a list"));
            }

            for (long at = 0; at < range.Length;)
            {
                int length = (int)Math.Min(ChunkBytes, range.Length - at);
                if (Trouble(location, timeout, chunks++) is { } trouble)
                    return trouble;
                BeforeChunk?.Invoke(done);
                if (!act(block.Bytes.AsSpan((int)(start + at), length), done))
                    return new DeviceOutcome(DeviceEnd.Stopped);
                at += length;
                done += length;
            }
        }

        return new DeviceOutcome(DeviceEnd.Done);
    }

    private DeviceOutcome? Trouble(string location, TimeSpan timeout, int chunks)
    {
        int device = NumberOf(location)!.Value;
        if (_lost[device])
            return new DeviceOutcome(DeviceEnd.Failed, Lost(location));
        if (Fault is { } fault && chunks >= FaultAfterChunks)
            return new DeviceOutcome(DeviceEnd.Failed, fault);
        long end = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        while (Stalled == location)
        {
            if (Environment.TickCount64 >= end)
            {
                _lost[device] = true;
                return new DeviceOutcome(DeviceEnd.Late,
                    new(MeshErrorCode.Device, "device", $"{location} did not end a copy in time and counts as lost"));
            }

            Thread.Sleep(2);
        }

        return null;
    }

    private (Block Block, long At)? Find(DeviceRange range)
    {
        foreach (var block in _host.Blocks.Values)
        {
            long at = range.Address - block.Address;
            if (at >= 0 && at < block.Length && range.Length <= block.Length - at)
                return (block, at);
        }

        return null;
    }

    private int? NumberOf(string location)
    {
        int at = Devices.ToList().FindIndex(device => device.Location == location);
        return at < 0 ? null : at;
    }

    private static DeviceOutcome Illegal(DeviceRange range) => new(DeviceEnd.Failed, new MeshError(
        MeshErrorCode.Device, "device", $"no device has {range.Length} bytes at 0x{range.Address:x}"));

    private static MeshError Unknown(string location) =>
        new(MeshErrorCode.InvalidArgument, "device", $"'{location}' is no device of this host");

    private static MeshError Lost(string location) =>
        new(MeshErrorCode.Device, "device", $"{location} counts as lost");

    internal sealed class Block(DeviceDouble owner, string location, nint address, byte[] bytes, bool opened = false)
        : IDeviceBlock
    {
        private int _disposed;

        public byte[] Bytes => bytes;

        public string Location => location;

        public nint Address => address;

        public long Length => bytes.Length;

        public MeshResult<byte[]> Share() => owner.Shares
            ? BitConverter.GetBytes((long)address)
            : new MeshError(MeshErrorCode.Device, "device", "this device shares nothing");

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) != 0)
                return;
            Interlocked.Decrement(ref owner._live);
            if (opened)
                return;
            lock (owner._host)
                owner._host.Blocks.Remove(address);
        }
    }
}
