// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Engine.Memory;

/// <summary>What is registered with one engine, by address, and shown on its board. Thread-safe.</summary>
internal sealed class RegisteredMemory : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Stack<int> _free = new();
    private RegisteredRegion[] _sorted = [];
    private int _used;
    private ulong _lastBlock;
    private bool _disposed;

    /// <param name="board">Where peers of this host see it; disposed with this.</param>
    public RegisteredMemory(EngineBoard board) => Board = board;

    /// <summary>Where peers of this host see it.</summary>
    public EngineBoard Board { get; }

    /// <summary>The registered ranges by address; closed ones too, until nothing uses them.</summary>
    public IReadOnlyList<RegisteredRegion> Regions => Volatile.Read(ref _sorted);

    /// <summary>Why a range cannot be registered, whatever is; null: it can.</summary>
    public static TransferError? Check(ulong address, ulong length)
    {
        if (address == 0 || length == 0)
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"memory of {length} bytes at 0x{address:x}: from 1 byte on, and not at 0");
        }

        return length <= ulong.MaxValue - address && length <= long.MaxValue ? null : new TransferError(
            TransferErrorCode.InvalidArgument,
            $"memory of {length} bytes at 0x{address:x} goes past the end of the address space");
    }

    /// <summary>Registers a range that <see cref="Check"/> takes.</summary>
    public TransferError? Add(ulong address, ulong length, string location, bool isRemote, MemoryBlock? block,
        RegionDevice? device = null)
    {
        var region = new RegisteredRegion(address, length, isRemote, block) { Location = location, Device = device };
        lock (_gate)
        {
            if (_disposed)
                return new TransferError(TransferErrorCode.Context, "the engine is closed");
            int at = IndexAfter(_sorted, address);
            if (at > 0 && _sorted[at - 1].Overlaps(address, length))
                return Overlapped(region, _sorted[at - 1]);
            if (at < _sorted.Length && _sorted[at].Overlaps(address, length))
                return Overlapped(region, _sorted[at]);
            if (_free.Count == 0 && _used == EngineBoard.MostRegions)
            {
                return new TransferError(TransferErrorCode.TooManyRequests,
                    $"{EngineBoard.MostRegions} ranges are registered, the limit of an engine");
            }

            region.Index = _free.TryPop(out int index) ? index : _used++;
            var sorted = new RegisteredRegion[_sorted.Length + 1];
            Array.Copy(_sorted, sorted, at);
            sorted[at] = region;
            Array.Copy(_sorted, at, sorted, at + 1, _sorted.Length - at);
            Volatile.Write(ref _sorted, sorted);
            if (device is not null)
                Board.CountDevices(1);
            Board.Set(region.Index, new BoardEntry
            {
                Address = address,
                Length = length,
                IsRemote = !isRemote ? 0 : device is null ? BoardEntry.Host : BoardEntry.Device,
                Block = block is null ? 0 : ++_lastBlock,
                BlockLength = block?.Length ?? 0,
                Descriptor = block?.Descriptor ?? -1,
            });
            return null;
        }
    }

    /// <summary>The region that begins at an address, or null.</summary>
    public RegisteredRegion? At(ulong address) =>
        Find(address) is { } region && region.Address == address ? region : null;

    /// <summary>The device that registered memory at an address lies on; null: it is the host's, or nobody's.</summary>
    public RegionDevice? DeviceAt(ulong address) =>
        Find(address) is { Device: { } device } region && region.Contains(address, 1) ? device : null;

    /// <summary>
    /// Lets nothing in to a region any more; at most one caller goes on to <see cref="Remove"/> it.
    /// </summary>
    /// <returns>The board's sequence: copies of peers that began before it may still touch the region.</returns>
    public ulong Close(RegisteredRegion region)
    {
        lock (_gate)
        {
            region.Close();
            return _disposed ? 0 : Board.Set(region.Index, default);
        }
    }

    /// <summary>Forgets a closed region that nothing uses.</summary>
    /// <returns>False when another caller has.</returns>
    public bool Remove(RegisteredRegion region)
    {
        lock (_gate)
        {
            int at = Array.IndexOf(_sorted, region);
            if (at < 0)
                return false;
            var sorted = new RegisteredRegion[_sorted.Length - 1];
            Array.Copy(_sorted, sorted, at);
            Array.Copy(_sorted, at + 1, sorted, at, sorted.Length - at);
            Volatile.Write(ref _sorted, sorted);
            _free.Push(region.Index);
            if (region.Device is not null && !_disposed)
                Board.CountDevices(-1);
            return true;
        }
    }

    /// <summary>Begins to use a range of one region, for this process's own transfers.</summary>
    /// <returns>The region, to be left; null: the range is not registered.</returns>
    public RegisteredRegion? Enter(ulong first, ulong length) =>
        Find(first) is { } region && region.Contains(first, length) && region.TryEnter() ? region : null;

    /// <summary>Begins to use a range of one region, for a peer.</summary>
    /// <returns>The region, to be left, or null and why not.</returns>
    public RegisteredRegion? EnterFor(ulong first, ulong length, out EntryStatus status)
    {
        status = EntryStatus.NotRegistered;
        if (Find(first) is not { } region || !region.Contains(first, length))
            return null;
        status = EntryStatus.NotRemote;
        if (!region.IsRemote)
            return null;
        status = EntryStatus.NotRegistered;
        if (!region.TryEnter())
            return null;
        status = EntryStatus.Done;
        return region;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            Board.Dispose();
        }
    }

    private RegisteredRegion? Find(ulong address)
    {
        var sorted = Volatile.Read(ref _sorted);
        int after = IndexAfter(sorted, address);
        return after == 0 ? null : sorted[after - 1];
    }

    /// <summary>Number of regions that begin at an address or before it.</summary>
    private static int IndexAfter(RegisteredRegion[] sorted, ulong address)
    {
        int low = 0;
        int high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (sorted[middle].Address <= address)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    private static TransferError Overlapped(RegisteredRegion wanted, RegisteredRegion there) =>
        new(TransferErrorCode.AddressOverlapped,
            $"{wanted.Length} bytes at 0x{wanted.Address:x} overlap the {there.Length} bytes that are registered at "
            + $"0x{there.Address:x}");
}
