// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>
/// A native object and a hold on the objects it was made from: whatever order the owners are disposed in, a queue pair
/// goes before its completion queue, a region before its domain, and everything before the device's context.
/// </summary>
internal sealed unsafe class VerbsHandle : SafeHandle
{
    private readonly delegate* unmanaged[Cdecl]<void*, int> _destroy;
    private readonly VerbsCounts _counts;
    private readonly VerbsHandle?[] _parents;
    private volatile bool _disposed;

    /// <summary>
    /// Holds the parents, which stay for as long as this does: make the native object after this, then adopt it, and
    /// dispose this if it could not be made.
    /// </summary>
    /// <param name="destroy">The native call that ends the object.</param>
    /// <param name="counts">Where the object is counted.</param>
    /// <param name="parents">What the object is made from.</param>
    /// <exception cref="ObjectDisposedException">A parent has been disposed.</exception>
    internal VerbsHandle(
        delegate* unmanaged[Cdecl]<void*, int> destroy, VerbsCounts counts, params VerbsHandle[] parents)
        : base(0, ownsHandle: true)
    {
        _destroy = destroy;
        _counts = counts;
        _parents = new VerbsHandle[parents.Length];
        try
        {
            for (int i = 0; i < parents.Length; i++)
            {
                parents[i].Hold();
                _parents[i] = parents[i];
            }
        }
        catch (ObjectDisposedException)
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Never, so that the parents are let go of even when there was nothing to adopt.</summary>
    public override bool IsInvalid => false;

    /// <summary>The native object, for the owner's own calls.</summary>
    internal void* Native => (void*)handle;

    /// <summary>Keeps the native object until DangerousRelease, whatever its owner does meanwhile.</summary>
    /// <exception cref="ObjectDisposedException">The owner has disposed it; others may still hold it.</exception>
    internal void Hold()
    {
        bool held = false;
        ObjectDisposedException.ThrowIf(_disposed, this);
        DangerousAddRef(ref held);
    }

    /// <summary>Takes over the native object.</summary>
    internal void Adopt(void* native)
    {
        SetHandle((nint)native);
        _counts.Made();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        // The base class knows itself closed only once the last holder has let go.
        _disposed = true;
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        bool gone = handle == 0;
        if (!gone)
        {
            // A refusal leaves nothing to do but to say so: the kernel takes the object back when the process ends.
            gone = _destroy((void*)handle) == 0;
            _counts.Ended(gone);
        }

        foreach (VerbsHandle? parent in _parents)
            parent?.DangerousRelease();
        return gone;
    }
}
