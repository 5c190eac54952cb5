// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Segments;

/// <summary>Makes and frees the cells of a store, with what hangs on them. Only under the lock of the store.</summary>
internal sealed unsafe class HeldCells(HeldGroups groups)
{
    // Cells have an arena of their own, so that a freed one is never anything but a cell: in it a HeldObject of the
    // past finds another word than its own.
    private readonly NativeArena _cells = new();
    private readonly NativeArena _bytes = new();

    /// <summary>The cell of a reservation that is complete.</summary>
    public HeldCell* Make(Reservation reservation, ulong checksum)
    {
        var cell = (HeldCell*)_cells.Take(sizeof(HeldCell));
        *cell = new HeldCell
        {
            Hash = reservation.Key.Hash,
            KeyLength = reservation.Key.Bytes.Length,
            ObjectId = reservation.ObjectId,
            Checksum = checksum,
            Extent = reservation.Extents[0],
            ExtentCount = reservation.Extents.Count,
            Size = reservation.Size,
            State = HeldState.Sealed,
            Asked = (byte)reservation.Attributes.Pin,
            Pin = reservation.Attributes.Pin,
            Group = groups.Take(reservation.Attributes.Group),
        };
        cell->Key = _bytes.Take(cell->KeyLength);
        reservation.Key.Bytes.CopyTo(new Span<byte>(cell->Key, cell->KeyLength));
        if (reservation.IsScattered)
        {
            cell->Extents = (Extent*)_bytes.Take(cell->ExtentCount * sizeof(Extent));
            for (int i = 0; i < cell->ExtentCount; i++)
                cell->Extents[i] = reservation.Extents[i];
        }

        if (reservation.Sums is not { Values.Length: > 1 } sums)
            return cell;
        cell->SumCount = sums.Values.Length;
        cell->Sums = (ulong*)_bytes.Take(cell->SumCount * sizeof(ulong));
        sums.Values.CopyTo(new Span<ulong>(cell->Sums, cell->SumCount));
        return cell;
    }

    /// <summary>Its extent is free: so is the cell.</summary>
    public void Free(HeldCell* cell)
    {
        cell->State = HeldState.Gone;
        groups.Give(cell->Group);
        _bytes.Give(cell->Key, cell->KeyLength);
        if (cell->Sums is not null)
            _bytes.Give(cell->Sums, cell->SumCount * sizeof(ulong));
        if (cell->Extents is not null)
            _bytes.Give(cell->Extents, cell->ExtentCount * sizeof(Extent));
        _cells.Give(cell, sizeof(HeldCell));
    }

    /// <summary>The cell of an object that is still sealed, committed or a zombie; null when it is gone.</summary>
    public static HeldCell* Of(HeldObject held) =>
        held.Cell->State != HeldState.Gone && held.Cell->Extent.Generation == held.Extent.Generation
            ? held.Cell : null;

    /// <summary>What is known of an object now.</summary>
    public HeldObject Read(HeldCell* cell) => new(cell)
    {
        Key = new MeshKey(new ReadOnlySpan<byte>(cell->Key, cell->KeyLength).ToArray(), cell->Hash),
        Attributes = new HeldAttributes((ObjectPin)cell->Asked, groups.NameOf(cell->Group)),
    };
}
