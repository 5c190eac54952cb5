// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Globalization;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>What ranges of memory have in common.</summary>
/// <param name="Device">Number of the device that all of them lie on; -1: none has a byte.</param>
/// <param name="IsExact">
/// Whether all of the memory is known to be there. A kernel that touched what is not would end the context for
/// everybody in this process.
/// </param>
internal readonly record struct RangeFacts(int Device, bool IsExact);

/// <summary>
/// Looks whether ranges are memory of one device, before anything is copied. Neighbours in one allocation cost one
/// question together.
/// </summary>
internal ref struct RangeCheck
{
    private readonly CudaLibrary _library;
    private readonly string _field;
    private ulong _knownStart;
    private ulong _knownEnd;
    private int _device;
    private bool _isExact;

    private RangeCheck(CudaLibrary library, string field)
    {
        _library = library;
        _field = field;
        _device = -1;
        _isExact = true;
    }

    /// <summary>Looks at them.</summary>
    /// <param name="library">The driver.</param>
    /// <param name="ranges">The ranges.</param>
    /// <param name="field">What they are called.</param>
    /// <param name="facts">What they have in common.</param>
    /// <returns>Null, or what is wrong with them.</returns>
    internal static MeshError? Look(
        CudaLibrary library, ReadOnlySpan<DeviceRange> ranges, string field, out RangeFacts facts)
    {
        var check = new RangeCheck(library, field);
        facts = default;
        long total = 0;
        for (int i = 0; i < ranges.Length; i++)
        {
            DeviceRange range = ranges[i];
            if (range.Length < 0)
                return Invalid($"{field}[{i}] has length {range.Length}; the least is 0");
            if (range.Length > long.MaxValue - total)
                return Invalid($"{field}[{i}]: the ranges have more than {long.MaxValue} bytes together");
            total += range.Length;
            if (range.Length > 0 && check.Look(range, i) is { } error)
                return error;
        }

        facts = new RangeFacts(check._device, check._isExact);
        return null;
    }

    private MeshError? Look(DeviceRange range, int index)
    {
        ulong at = (ulong)range.Address;
        ulong end = at + (ulong)range.Length;
        if (end < at)
            return Invalid($"{Name(range, index)} goes beyond the last address");
        while (at < end)
        {
            if (at < _knownStart || at >= _knownEnd)
            {
                PointerFacts facts = PointerFacts.Of(_library, (nint)at, out int result);
                if (result != CUresult.CUDA_SUCCESS)
                    throw CudaException.Of(_library, result, nameof(_library.cuPointerGetAttributes));
                if (!facts.IsDevice)
                    return Invalid($"{Name(range, index)}: there is no memory of a device at {Hex(at)}");
                if (_device >= 0 && facts.Device != _device)
                {
                    return Invalid($"{Name(range, index)} lies on cuda:{facts.Device}, what is before it on "
                        + $"cuda:{_device}; all ranges must be of one device");
                }

                _device = facts.Device;
                _isExact &= facts.IsPlain && facts.Size > 0;
                // Where the driver does not say how far it goes, its own copies find out.
                _knownStart = facts.Size > 0 ? facts.Start : at;
                _knownEnd = facts.Size > 0 ? facts.Start + facts.Size : end;
            }

            at = Math.Min(end, _knownEnd);
        }

        return null;
    }

    private readonly string Name(DeviceRange range, int index) =>
        $"{_field}[{index}] of {range.Length} bytes at {Hex((ulong)range.Address)}";

    private static string Hex(ulong address) => "0x" + address.ToString("x", CultureInfo.InvariantCulture);

    private static MeshError Invalid(string message) => new(MeshErrorCode.InvalidArgument, "device", message);
}
