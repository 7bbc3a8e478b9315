//! The first KubeDirector's kinds, `kubedirector.bluedata.io/v1alpha1`.
