// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Verbs.Cards;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Memory;

/// <summary>
/// Memory of this process that the cards can reach: registered at each of them, in parts of at most what a card takes
/// at once. Thread-safe; disposed once nothing that names it is on its way.
/// </summary>
internal sealed class LocalMemory : IDisposable
{
    private readonly Lock _gate = new();
    private readonly MemoryAccess _access;
    private readonly AtCard?[] _cards;
    private bool _disposed;

    /// <param name="range">The memory; it must outlive this.</param>
    /// <param name="partBytes">Most that every card takes at once.</param>
    /// <param name="access">Who may do what.</param>
    /// <param name="cards">Number of cards.</param>
    public LocalMemory(NativeRange range, long partBytes, MemoryAccess access, int cards)
    {
        Range = range;
        PartBytes = Math.Min(partBytes, range.Length);
        _access = access;
        _cards = new AtCard?[cards];
    }

    /// <summary>Whether it stays for all who want to use it, and not for the one call it was registered for.</summary>
    public bool IsShared { get; init; } = true;

    /// <summary>Where an accelerator has it; null: it is the host's.</summary>
    public DeviceBuffer? Device { get; init; }

    /// <summary>Where it lies; known once it is registered.</summary>
    public MemoryPlaces? Places { get; set; }

    /// <summary>Which memory it is.</summary>
    public NativeRange Range { get; }

    /// <summary>Length of each part but the last, in bytes.</summary>
    public long PartBytes { get; }

    /// <summary>Number of parts.</summary>
    public int Parts => (int)(((Range.Length - 1) / PartBytes) + 1);

    /// <summary>How a peer is told of it.</summary>
    public RemoteRegion Region => new((ulong)Range.Address, Range.Length, PartBytes);

    /// <summary>Whether all of a range lies in it.</summary>
    public bool Contains(NativeRange range) => range.Address >= Range.Address
        && range.Length <= Range.Length - (range.Address - Range.Address);

    /// <summary>Whether it may be used so.</summary>
    public bool Allows(MemoryAccess access) => (_access & access) == access;

    /// <summary>Registers it at a card, unless it is; a card that was lost and found again counts as another.</summary>
    /// <exception cref="VerbsException">Refused: most often ENOMEM, as so much may not be locked.</exception>
    public void Register(int card, CardLife life)
    {
        if (Volatile.Read(ref _cards[card])?.Life == life)
            return;
        var made = new AtCard(life, Parts);
        bool kept = false;
        try
        {
            for (int part = 0; part < Parts; part++)
            {
                long from = part * PartBytes;
                long length = Math.Min(PartBytes, Range.Length - from);
                nint address = Range.Address + (nint)from;
                made.Regions[part] = Device is { } device
                    ? DeviceRegion.Register(life.Device, device.Memory, new DeviceRange(address, length), _access)
                    : life.Device.Register(address, length, _access);
            }

            lock (_gate)
            {
                kept = !_disposed && _cards[card]?.Life != life;
                if (kept)
                {
                    _cards[card]?.Dispose();
                    Volatile.Write(ref _cards[card], made);
                }
            }
        }
        finally
        {
            if (!kept)
                made.Dispose();
        }
    }

    /// <summary>Ends its registration at a card that is lost.</summary>
    public void Forget(int card)
    {
        lock (_gate)
        {
            _cards[card]?.Dispose();
            Volatile.Write(ref _cards[card], null);
        }
    }

    /// <summary>Bytes from an address in it to the end of that part.</summary>
    public long UntilPartEnd(nint address) => PartBytes - ((address - Range.Address) % PartBytes);

    /// <summary>The location of an address in it, as <see cref="MemoryPlaces"/> numbers them.</summary>
    public int LocationOf(nint address) => Places?.At(address) ?? RailPreferences.Anywhere;

    /// <summary>The key for this process's own requests at a card; false: not registered there.</summary>
    public bool TryKey(int card, CardLife life, nint address, out uint key)
    {
        var at = Volatile.Read(ref _cards[card]);
        bool found = at?.Life == life;
        key = found ? at!.Regions[(int)((address - Range.Address) / PartBytes)]!.LocalKey : 0;
        return found;
    }

    /// <summary>The keys for a peer's requests, part by part; 0 where it is not registered at this card.</summary>
    public void CopyKeys(int card, Span<uint> into)
    {
        var at = Volatile.Read(ref _cards[card]);
        for (int part = 0; part < Parts; part++)
            into[part] = at?.Regions[part]?.RemoteKey ?? 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            for (int card = 0; card < _cards.Length; card++)
            {
                _cards[card]?.Dispose();
                _cards[card] = null;
            }
        }
    }

    private sealed class AtCard(CardLife life, int parts) : IDisposable
    {
        public CardLife Life => life;

        public MemoryRegion?[] Regions { get; } = new MemoryRegion?[parts];

        public void Dispose()
        {
            foreach (var region in Regions)
                region?.Dispose();
        }
    }
}
